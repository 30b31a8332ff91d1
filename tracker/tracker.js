/* Footfall's tracker: counts what is seen and done on a page, and never breaks the page that embeds it. */
(() => {
  'use strict'

  const DAY = 864e5
  const HALF_HOUR = 18e5 // after so long without activity a visit is over
  const TIMEOUT = 2e4 // ms that one try may take
  const LEASE = 3e4 // ms that a tab may hold a beacon before another tab takes it over
  const QUEUE_LIMIT = 100
  const URL_LIMIT = 2048 // the collector refuses longer ones
  const TEXT_LIMIT = 1000 // of a property
  const KEEPALIVE_LIMIT = 16e3 // browsers refuse to keep more than 64 KiB alive, all requests together
  const BURST = 30 // beacons at once; after that one a second
  const ENGAGED = 1e3 // ms below which a page was not looked at
  const EVENT = 'data-footfall-event'
  const IGNORE = 'footfall.ignore'
  const BEACON = 'footfall.beacon.'
  const IDENTIFIER = 'footfall.identifier'
  const IDENTITY = 'footfall.identity'
  const PAUSE = 'footfall.pause'
  const FILES = 'pdf|docx?|xlsx?|pptx?|od[pst]|csv|epub|zip|rar|7z|gz|dmg|exe|msi|apk|mp[34]|mov'

  const attempt = (work) => {
    try {
      return work()
    } catch (error) { /* then there is no answer */ }
  }

  // Nothing that goes wrong, now or later, may reach the page: not as an error, not as a rejection.
  const guard = (work) => (...given) => {
    (async () => work(...given))().catch(() => {})
  }

  guard(() => {
    const script = document.currentScript || document.querySelector('script[data-site-key]')
    const settings = script.dataset
    const siteKey = settings.siteKey
    const mark = 'footfall.' + siteKey
    if (!siteKey || window[mark]) return
    window[mark] = true // embedded twice, a page still counts once

    const chosen = (name) => name in settings && settings[name] !== 'false'
    const endpoint = settings.endpoint || new URL('collect', script.src).href
    const cookieless = chosen('cookieless')
    const withHash = chosen('hash')
    const auto = settings.auto !== 'false'
    const isUnwanted = chosen('respectDnt') && (navigator.doNotTrack > 0 || navigator.globalPrivacyControl)
    const files = new RegExp(`\\.(${(settings.downloads || FILES).replace(/[, ]+/g, '|')})$`, 'i')
    const exclusions = (settings.exclude || '').split(',').map(
      (text) => new RegExp(`^${text.trim().replace(/\W/g, (mark) => mark === '*' ? '.*' : '\\' + mark)}$`)
    )
    const keys = (settings.query || '').split(',')
    const memory = {} // what is not stored lives as long as the page
    const unanswered = {} // this page's own beacons, by storage key
    let tokens = BURST
    let refilledAt = Date.now()
    let engagedMs = 0
    let activeSince = 0
    let deepest = 0
    let countedPath, countedUrl, engagedUrl, draining, timer

    // Without cookies means without storage: whatever this tracker once stored goes, and nothing comes.
    const stored = () => (attempt(() => Object.keys(localStorage)) || []).filter((key) => key.startsWith('footfall.') && key !== IGNORE)
    if (cookieless || isUnwanted) stored().forEach((key) => localStorage.removeItem(key))
    const storage = () => cookieless || localStorage // the former has no methods, so memory steps in

    const read = (key) => attempt(() => storage().getItem(key)) || memory[key]
    const readJson = (key) => attempt(() => JSON.parse(read(key)))
    const write = (key, value) => {
      attempt(() => {
        memory[key] = value
        storage().setItem(key, value)
        delete memory[key]
      })
    }
    const remove = (key) => {
      delete memory[key]
      attempt(() => storage().removeItem(key))
    }

    // One storage key a beacon: tabs share the queue, and none overwrites what another has put there.
    const queue = () => Object.keys(memory).concat(stored()).filter((key) => key.startsWith(BEACON)).sort()

    const uuid = (time) => {
      const bytes = crypto.getRandomValues(new Uint8Array(16))
      for (let i = 5; i >= 0; i--, time /= 256) bytes[i] = time
      bytes[6] = bytes[6] & 15 | 112
      bytes[8] = bytes[8] & 63 | 128
      return Array.from(bytes, (byte, i) => (i % 2 || i < 4 || i > 10 ? '' : '-') + (byte + 256).toString(16).slice(1)).join('')
    }

    const allowed = (now) => {
      tokens = Math.min(BURST, tokens + Math.max(0, now - refilledAt) / 1e3)
      refilledAt = now
      return !isUnwanted && attempt(() => localStorage.getItem(IGNORE)) !== 'true' && tokens >= 1 && tokens--
    }

    // What is seen and done -------------------------------------------------------------------------

    const path = () => location.pathname + (withHash ? location.hash : '')
    // What tells pages apart: of the query only what the server keeps.
    const place = () => path() + keys.map((key) => new URLSearchParams(location.search).getAll(key))
    const address = () => (withHash ? location.href : location.href.split('#')[0]).slice(0, URL_LIMIT)
    const bare = (url) => url.split(/[?#]/)[0].slice(0, TEXT_LIMIT)

    const enqueue = (beacon) => {
      const now = Date.now()
      if (!allowed(now)) return
      const id = uuid(now)
      const key = BEACON + id
      if (!cookieless && !read(IDENTIFIER)) write(IDENTIFIER, uuid(now))
      Object.assign(beacon, {
        id, siteKey, identifier: read(IDENTIFIER), visitedAt: new Date(now),
        screen: `${screen.width}x${screen.height}`, language: navigator.language
      })
      queue().slice(0, 1 - QUEUE_LIMIT).forEach(remove)
      unanswered[key] = true
      write(key, JSON.stringify({ beacon, tries: 0, heldAt: 0 }))
      return true
    }

    const report = (kind, fields) => {
      const isReported = !exclusions.some((exclusion) => exclusion.test(path())) &&
        enqueue(Object.assign({ kind, pageUrl: address(), referrer: countedUrl ? '' : document.referrer }, fields))
      guard(drain)()
      return isReported
    }

    const track = (name, props) => report('event', { name: '' + name, props })

    // Time counts while the page is visible and focused. Where it is on the page is known before it changes.
    const settle = () => {
      const now = Date.now()
      if (activeSince) engagedMs += Math.max(0, now - activeSince)
      activeSince = !document.hidden && document.hasFocus() ? now : 0
      deepest = Math.max(deepest, scrollY + innerHeight)
    }

    const engage = () => {
      settle()
      if (!engagedUrl || engagedMs < ENGAGED) return
      enqueue({
        kind: 'engagement', pageUrl: engagedUrl, engagedMs: Math.min(engagedMs, HALF_HOUR),
        scrollPercent: Math.min(100, Math.round(deepest / document.documentElement.scrollHeight * 100))
      })
      engagedMs = 0
    }

    const count = () => {
      const isFirst = !countedUrl
      const referrer = countedUrl || document.referrer
      attempt(engage)
      engagedMs = deepest = 0
      countedPath = place()
      countedUrl = address()
      engagedUrl = report(undefined, { referrer }) && countedUrl
      if (isFirst && chosen('404') && performance.getEntriesByType('navigation')[0].responseStatus === 404) {
        track('404', { path: location.pathname })
      }
    }

    const look = () => {
      if (document.hidden) {
        attempt(leave)
        return drain()
      }
      settle()
      // A link by which this browser's own visits are left out, or counted again.
      const wish = location.hash.split('#footfall-')[1]
      if (wish) localStorage.setItem(IGNORE, wish === 'ignore')
      if (auto && place() !== countedPath) count()
    }

    // A signature stands for its identity, and tells nobody who it is. What was read until now was the former person's.
    const identify = (identity, signature) => {
      if (cookieless) return
      const now = Date.now()
      const known = readJson(IDENTITY) || {}
      if (known.signature !== signature) known.signature && (attempt(engage), write(IDENTIFIER, uuid(now)))
      else if (Math.abs(now - known.at) < HALF_HOUR) return
      if (report('identify', { identity: '' + identity, signature })) {
        write(IDENTITY, JSON.stringify({ signature, at: now }))
      }
    }

    const declare = (element) => {
      const props = {}
      for (const { name, value } of Array.from(element.attributes)) {
        if (name.startsWith(EVENT + '-')) props[name.slice(EVENT.length + 1)] = value
      }
      track(element.getAttribute(EVENT), props)
    }

    const click = ({ button, target }) => {
      const link = target.closest('a[href],area[href]')
      if (button && (button > 1 || !link)) return // of the other buttons only the middle one follows links
      const declared = target.closest(`[${EVENT}]`)
      if (declared && !declared.action) declare(declared)
      if (!link || !/^https?:/.test(link.protocol)) return
      const props = { url: bare(link.href) }
      if (chosen('downloads') && (link.hasAttribute('download') || files.test(link.pathname))) track('download', props)
      else if (chosen('outbound') && link.host !== location.host) track('outbound', props)
    }

    const submit = ({ target }) => {
      if (target.hasAttribute(EVENT)) declare(target)
      if (chosen('forms')) track('form', { action: bare(target.getAttribute('action') || location.pathname) })
    }

    // Sending ---------------------------------------------------------------------------------------

    // Fewest tries first, then the newest: a beacon that fails again and again holds up no other.
    const next = () => queue().reduce((best, key) => {
      const now = Date.now()
      const item = readJson(key)
      if (!attempt(() => now - Date.parse(item.beacon.visitedAt) < DAY)) return remove(key), best
      if (item.beacon.siteKey !== siteKey || Math.abs(now - item.heldAt) < LEASE) return best
      return best && best.tries < item.tries ? best : Object.assign(item, { key })
    }, null)

    // It is the server that needs a rest, not one beacon: a pause holds for every beacon, tab and page.
    const pause = () => {
      const state = readJson(PAUSE) || {}
      const left = state.until - Date.now()
      return Object.assign(state, { left: left > 0 && left <= DAY ? left : 0 })
    }

    const rest = (retryAfter) => {
      const asked = retryAfter * 1e3 || Date.parse(retryAfter) - Date.now()
      const told = asked > 0
      const failures = pause().failures || 0
      const wait = (told ? asked : Math.min(1e3 * 2 ** failures, 3e5)) * (1 + Math.random() / 2)
      write(PAUSE, JSON.stringify({ until: Date.now() + Math.min(wait, DAY), failures: failures + 1, told }))
    }

    const hold = (item, heldAt) => write(item.key, JSON.stringify(Object.assign(item, { heldAt })))
    const body = (beacon) => JSON.stringify(Object.assign(beacon, { sentAt: new Date() }))

    const send = async (item) => {
      const abort = new AbortController()
      const timeout = setTimeout(() => abort.abort(), TIMEOUT)
      const text = body(item.beacon)
      let answer = {} // what a failed network leaves us with
      item.tries++
      hold(item, Date.now())
      try {
        answer = await fetch(endpoint, {
          method: 'POST', body: text, keepalive: text.length < KEEPALIVE_LIMIT, credentials: 'omit', signal: abort.signal
        })
      } catch (error) { /* the beacon is kept, below */ }
      clearTimeout(timeout)
      if (!answer.status || answer.status === 429 || answer.status >= 500) {
        rest(answer.headers && answer.headers.get('Retry-After'))
        hold(item, 0)
        unanswered[item.key] = true
      } else {
        [item.key, PAUSE].forEach(remove)
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

    // A page that is hidden may never be heard of again. What goes out here may arrive twice; under the same id it counts
    // once, and it stays queued until it is answered. A server that asked us to wait is left alone.
    const leave = () => {
      attempt(engage)
      const state = pause()
      if (state.left && state.told) return
      Object.keys(unanswered).forEach((key) => {
        const item = readJson(key)
        if (!item || navigator.sendBeacon(endpoint, body(item.beacon))) delete unanswered[key]
      })
    }

    // The page ---------------------------------------------------------------------------------------

    // In the window's capture phase all of them are heard, whoever they are meant for and whatever the page does with them.
    const listen = (names, work) => names.split(' ').forEach(
      (name) => addEventListener(name, guard(work), true)
    )

    const start = () => {
      const early = window.footfall
      attempt(() => {
        window.footfall = Object.assign(guard((name, props) => typeof name === 'function' ? name() : track(name, props)), {
          identify: guard(identify), product: guard((sku) => report('product', { sku: '' + sku })), pageview: guard(count)
        })
      })
      'pushState replaceState'.split(' ').forEach((name) => attempt(() => {
        const original = history[name]
        history[name] = function () {
          const result = original.apply(this, arguments)
          guard(look)()
          return result
        }
      }))
      listen('popstate hashchange visibilitychange', look)
      listen('focus blur scroll', settle)
      listen('click auxclick', click)
      listen('submit', submit)
      listen('pagehide', () => {
        leave()
        engagedUrl = ''
      })
      listen('pageshow', ({ persisted }) => {
        if (!persisted) return
        countedPath = null // back from the back-forward cache, so seen again
        look()
      })
      listen('online', () => {
        if (!pause().told) remove(PAUSE)
        return drain()
      })
      guard(look)()
      guard(() => Array.from(early.q).forEach((given) => window.footfall(...given)))()
      guard(drain)() // what earlier pages left behind, even while this one waits to be seen
    }

    if (document.prerendering) listen('prerenderingchange', start)
    else start()
  })()
})()
