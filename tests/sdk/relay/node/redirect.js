// Preload for VWO's SDKs in servers of Node: `node -r ./redirect.js app.js` sends their requests for
// VWO's host to VWO_REDIRECT, an http URL, and leaves all others alone. What is loaded with `require`
// uses https; the FME SDK that is loaded with `import` uses fetch.
'use strict';

const http = require('http');
const https = require('https');

const HOST = 'dev.visualwebsiteoptimizer.com';
const relay = new URL(process.env.VWO_REDIRECT);

for (const name of ['request', 'get']) {
  const original = https[name];
  https[name] = function (options, ...rest) {
    if (!options || options.hostname !== HOST) return original.call(https, options, ...rest);
    const elsewhere = { protocol: 'http:', hostname: relay.hostname, port: relay.port };
    return http[name]({ ...options, ...elsewhere }, ...rest);
  };
}

const fetchAnything = globalThis.fetch;
globalThis.fetch = function (target, ...rest) {
  const url = typeof target === 'string' && URL.canParse(target) ? new URL(target) : null;
  if (!url || url.hostname !== HOST) return fetchAnything(target, ...rest);
  return fetchAnything(relay.origin + url.pathname + url.search, ...rest);
};
