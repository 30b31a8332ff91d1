/* Footfall's tracker: counts the pages that are seen, and never breaks the page that embeds it. */
(() => {
  'use strict'

  const DAY = 864e5
  const TIMEOUT = 2e4 // ms that one try may take
  const LEASE = 3e4 // ms that a tab may hold a beacon before another tab takes it over
  const QUEUE_LIMIT = 50
  const URL_LIMIT = 2048 // the collector refuses longer ones
  const BURST = 30 // views at once; after that one a second

  const attempt = (work, otherwise) => {
    try {
      return work()
    } catch (error) {
      return otherwise
    }
  }

  // Nothing that goes wrong, now or later, may reach the page: not as an error, not as a rejection.
  const guard = (work) => (event) => attempt(() => Promise.resolve(work(event)).catch(() => {}))

  guard(() => {
    const script = document.currentScript || document.querySelector('script[data-site-key]')
    const siteKey = script.dataset.siteKey
    const loaded = window.footfallLoaded = window.footfallLoaded || {}
    if (!siteKey || loaded[siteKey]) return
    loaded[siteKey] = true

    const endpoint = script.dataset.endpoint || new URL('/collect', script.src).href
    const memory = {} // what storage refuses lives as long as the page
    const unanswered = {} // this page's own beacons, by storage key
    let tokens = BURST
    let refilledAt = Date.now()
    let countedPath, countedUrl, draining, timer

    const read = (key) => attempt(() => localStorage.getItem(key)) || memory[key]
    const readJson = (key) => attempt(() => JSON.parse(read(key)))
    const write = (key, value) => {
      if (attempt(() => localStorage.setItem(key, value), true)) memory[key] = value
    }
    const remove = (key) => {
      delete memory[key]
      attempt(() => localStorage.removeItem(key))
    }

    // One storage key a beacon: tabs share the queue, and none overwrites what another has put there.
    const queue = () => Object.keys(memory).concat(attempt(() => Object.keys(localStorage), []))
      .filter((key) => key.startsWith('footfall.beacon.')).sort()

    const uuid = (version, time) => {
      const bytes = crypto.getRandomValues(new Uint8Array(16))
      for (let i = 5; time && i >= 0; i--, time = Math.floor(time / 256)) bytes[i] = time % 256
      bytes[6] = bytes[6] & 15 | version << 4
      bytes[8] = bytes[8] & 63 | 128
      return Array.from(bytes, (byte) => (byte + 256).toString(16).slice(1)).join('')
        .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
    }

    const identifier = () => {
      if (!read('footfall.identifier')) write('footfall.identifier', uuid(4))
      return read('footfall.identifier')
    }

    const allowed = (now) => {
      tokens = Math.min(BURST, tokens + Math.max(0, now - refilledAt) / 1e3)
      refilledAt = now
      return read('footfall.ignore') !== 'true' && tokens >= 1 && tokens--
    }

    const look = () => {
      if (document.visibilityState !== 'visible' || location.pathname === countedPath) return
      const referrer = countedUrl || document.referrer
      countedPath = location.pathname
      countedUrl = location.href.split('#')[0].slice(0, URL_LIMIT)
      if (allowed(Date.now())) enqueue({ pageUrl: countedUrl, referrer })
      return drain()
    }

    const enqueue = (beacon) => {
      const id = uuid(7, Date.now())
      const key = 'footfall.beacon.' + id
      Object.assign(beacon, {
        id, siteKey, identifier: identifier(), visitedAt: new Date().toISOString(), screen: screen.width + 'x' + screen.height
      })
      queue().slice(0, 1 - QUEUE_LIMIT).forEach(remove)
      unanswered[key] = beacon
      write(key, JSON.stringify({ beacon, tries: 0, heldAt: 0 }))
    }

    // Fewest tries first, then the newest: a beacon that fails again and again holds up no other.
    const next = () => queue().reduce((best, key) => {
      const now = Date.now()
      const item = readJson(key)
      if (!item || !item.beacon || !(now - Date.parse(item.beacon.visitedAt) < DAY)) return remove(key), best
      if (item.beacon.siteKey !== siteKey || Math.abs(now - item.heldAt) < LEASE) return best
      return best && best.tries < item.tries ? best : Object.assign(item, { key })
    }, null)

    // It is the server that needs a rest, not one beacon: a pause holds for every beacon, tab and page.
    const pause = () => {
      const state = readJson('footfall.pause') || {}
      const left = state.until - Date.now()
      return Object.assign(state, { left: left > 0 && left <= DAY ? left : 0 })
    }

    const rest = (retryAfter) => {
      const seconds = +retryAfter || (Date.parse(retryAfter) - Date.now()) / 1e3
      const told = seconds > 0
      const failures = pause().failures || 0
      const wait = told
        ? Math.min(seconds * 1e3 * (1 + Math.random() / 2), DAY)
        : Math.min(2e3 * 2 ** failures, 6e5) * (0.5 + Math.random())
      write('footfall.pause', JSON.stringify({ until: Date.now() + wait, failures: failures + 1, told }))
    }

    const hold = (item, heldAt) => write(item.key, JSON.stringify(Object.assign(item, { heldAt })))
    const body = (beacon) => JSON.stringify(Object.assign({}, beacon, { sentAt: new Date().toISOString() }))

    const send = async (item) => {
      const abort = new AbortController()
      const timeout = setTimeout(() => abort.abort(), TIMEOUT)
      let answer = { status: 0 } // what a failed network leaves us with
      item.tries++
      hold(item, Date.now())
      try {
        answer = await fetch(endpoint, {
          method: 'POST', body: body(item.beacon), keepalive: true, credentials: 'omit', signal: abort.signal
        })
      } catch (error) { /* the beacon is kept, below */ }
      clearTimeout(timeout)
      if (!answer.status || answer.status === 429 || answer.status >= 500) {
        rest(answer.headers && answer.headers.get('Retry-After'))
        hold(item, 0)
      } else {
        [item.key, 'footfall.pause'].forEach(remove)
        delete unanswered[item.key]
      }
    }

    const drain = async () => {
      let item, wait
      if (draining) return
      draining = true
      try {
        while (!(wait = pause().left) && (item = next())) await send(item)
      } finally {
        draining = false
      }
      clearTimeout(timer)
      if (queue().length) timer = setTimeout(guard(drain), wait ? wait + 1 : LEASE)
    }

    // These may arrive twice; under the same id they count once. A server that asked us to wait is left alone.
    const leave = () => {
      const state = pause()
      if (state.left && state.told) return
      Object.values(unanswered).forEach((beacon) => navigator.sendBeacon(endpoint, body(beacon)))
    }

    for (const name of ['pushState', 'replaceState']) {
      const original = history[name]
      history[name] = function () {
        const result = original.apply(this, arguments)
        guard(look)()
        return result
      }
      history[name].footfall = true
    }
    addEventListener('popstate', guard(look))
    addEventListener('pagehide', guard(leave))
    addEventListener('pageshow', guard((event) => {
      if (!event.persisted) return
      countedPath = null // back from the back-forward cache, so seen again
      return look()
    }))
    addEventListener('online', guard(() => {
      if (!pause().told) remove('footfall.pause')
      return drain()
    }))
    document.addEventListener('visibilitychange', guard(look))
    guard(look)()
    guard(drain)() // what earlier pages left behind, even while this one waits to be seen
  })()
})()
