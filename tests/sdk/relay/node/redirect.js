// Preload for VWO's legacy SDK, which can be pointed nowhere: `node -r ./redirect.js app.js` sends
// its requests for VWO's host to VWO_REDIRECT, an http URL, and leaves all others alone.
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
