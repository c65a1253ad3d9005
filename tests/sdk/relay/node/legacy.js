// Carries out a plan with VWO's legacy SDK for Node.
'use strict';

const { main, tell, flushed } = require('./plan');

const visitor = (given) => ({
  ...(given && given.ua && { userAgent: given.ua }),
  ...(given && given.ip && { userIpAddress: given.ip }),
});

main(async ({ package: name, account, key, batch }) => {
  const vwo = require(name);
  const settingsFile = await vwo.getSettingsFile(String(account), key);
  const options = { settingsFile, sdkKey: key };
  if (batch) {
    options.batchEvents = {
      eventsPerRequest: batch.events,
      requestTimeInterval: batch.seconds,
      flushCallback: flushed,
    };
  }
  const client = vwo.launch(options);
  return {
    activate: (campaign, user, given) =>
      tell({ variation: client.activate(campaign, user, visitor(given)) }),
    feature: (campaign, user, given) =>
      tell({ enabled: client.isFeatureEnabled(campaign, user, visitor(given)) }),
    goal: (campaigns, user, goal, revenueValue) =>
      client.track(campaigns, user, goal, revenueValue === undefined ? {} : { revenueValue }),
    tag: (name, value, user) => client.push(name, value, user),
    tags: (tags, user) => client.push(tags, user),
    flush: async () => tell({ flush: await client.flushEvents() }),
  };
});
