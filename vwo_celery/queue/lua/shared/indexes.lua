-- shared/indexes.lua: keep the sets by which a look at a shard costs the same at any backlog.
-- births: batch id -> Unix ms of its oldest event, of each batch that is ready, released or in flight.
-- released: batch id -> attempts * RELEASED_UNIT + events, of each batch that waits in ready after a failed
-- attempt; their events are summed up in meta's released_events.
-- Workers of 0.1 keep neither; restore.lua mends both.
local RELEASED_UNIT = 1000000

local function has_failed(batch) return batch.attempt > 0 and batch.error ~= '' end

local function leave_released(released, meta, id)
  local score = in_index(redis.pcall('ZSCORE', released, id))
  if not score then return end
  redis.call('ZREM', released, id)
  redis.call('HINCRBY', meta, 'released_events', 0 - score % RELEASED_UNIT)
end

local function enter_released(released, meta, id, batch)
  local before = in_index(redis.pcall('ZSCORE', released, id)) or 0
  if not in_index(redis.pcall('ZADD', released, batch.attempt * RELEASED_UNIT + batch.events, id)) then return end
  redis.call('HINCRBY', meta, 'released_events', batch.events - before % RELEASED_UNIT)
end
