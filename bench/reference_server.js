// The bare reference: reads each body and answers 204, nothing else.
'use strict'

const { createServer } = require('node:http')

const server = createServer((request, response) => {
  request.on('data', () => {})
  request.on('end', () => {
    response.writeHead(204)
    response.end()
  })
})

server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listening'))
process.on('SIGTERM', () => process.exit(0))
