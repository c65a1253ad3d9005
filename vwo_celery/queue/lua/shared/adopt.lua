-- shared/adopt.lua: enter into the ledger the changes that other programs made to the open list.
-- From then on the list is mixed: its size in bytes is unknown, and only the sweep slices it. Where none of it was
-- counted before, its time begins: what first_ms says is of a list that is gone.
local function adopt_open(open, meta, counted_events, counted_bytes)
  local length = redis.call('LLEN', open)
  local foreign = length - counted_events
  local now = now_ms()
  redis.call('HDEL', meta, '') -- what is denied comes before what counts
  redis.call('HSET', meta, 'open_bytes', counted_bytes)
  if foreign > 0 then redis.call('HINCRBY', meta, 'accepted', foreign) end
  if foreign < 0 then count_drop(meta, 'vanished', -foreign) end
  redis.call('HINCRBY', meta, 'events', foreign)
  redis.call('HINCRBY', meta, 'bytes', 0 - counted_bytes)
  redis.call('HSET', meta, 'open_events', length, 'open_bytes', 0)
  if length > 0 and counted_events <= 0 then redis.call('HSET', meta, 'first_ms', now) end
  if length > 0 then redis.call('HSET', meta, 'mixed', 1) else redis.call('HDEL', meta, 'mixed') end
end
