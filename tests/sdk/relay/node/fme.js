// Carries out a plan with VWO's FME SDK for Node.
'use strict';

const { main, tell, flushed } = require('./plan');

const context = ({ id, ua, ip, variables }) => ({
  id,
  ...(ua && { userAgent: ua }),
  ...(ip && { ipAddress: ip }),
  ...(variables && { customVariables: variables, postSegmentationVariables: Object.keys(variables) }),
});

main(async ({ package: name, module, account, key, pointed, batch }) => {
  const options = { accountId: account, sdkKey: key, logger: { level: 'ERROR' }, ...pointed };
  if (batch) {
    options.batchEventData = {
      eventsPerRequest: batch.events,
      requestTimeInterval: batch.seconds,
      flushCallback: flushed,
    };
  }
  const sdk = module === 'esm' ? await import(name) : require(name);
  const client = await sdk.init(options);
  return {
    flag: async (feature, user) =>
      tell({ flag: (await client.getFlag(feature, context(user))).isEnabled() }),
    event: (name, user, properties) => client.trackEvent(name, context(user), properties),
    attributes: (attributes, user) => client.setAttribute(attributes, context(user)),
    attribute: (name, value, user) => client.setAttribute(name, value, context(user)),
    flush: async () => tell({ flush: (await client.flushEvents()).status }),
  };
});
