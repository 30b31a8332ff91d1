-- wrk: every request is a beacon of its own, as tracker.js posts it; at the end one line of JSON.
local site_key = os.getenv("SITE_KEY")
local thread_count = 0
local head, middle, tail

function setup(thread)
  thread_count = thread_count + 1
  thread:set("number", thread_count)
end

function init(args)
  math.randomseed(os.time() * 100 + number)
  head = '{"id":"'
  middle = '","siteKey":"' .. site_key .. '","identifier":"0c5f4f0e-9d5b-4a10-8b7e-'
  tail = '","referrer":"https://search.example/","screen":"1920x1080"}'
  wrk.headers["Content-Type"] = "text/plain;charset=UTF-8"
  wrk.headers["User-Agent"] = os.getenv("USER_AGENT")
  wrk.headers["Accept-Language"] = "en-GB,en;q=0.9"
  wrk.headers["Origin"] = "https://bench.example"
end

function request()
  local time = string.format("%012x", os.time() * 1000 + math.random(0, 999))
  local id = time:sub(1, 8) .. "-" .. time:sub(9, 12) .. string.format(
    "-7%03x-8%03x-%06x%06x", math.random(0, 4095), math.random(0, 4095), math.random(0, 16777215), math.random(0, 16777215))
  local body = head .. id .. middle .. string.format("%012x", math.random(1, 20000)) .. '","pageUrl":"https://bench.example/page-'
    .. math.random(1, 50) .. tail
  return wrk.format("POST", nil, nil, body)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"microseconds":%d,"refused":%d,"broken":%d,"p50_ms":%.3f,"p99_ms":%.3f}\n',
    summary.requests, summary.duration, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
