-- depart.lua: take a batch that no worker holds out of its queue, to move it to another.
-- From then on no script finds it, of this release or an older one, but for stay.lua and moved.lua: no claim,
-- no redrive, and no ack that comes late. Its events leave the counters, and a look adds those of `leaving`.
-- KEYS[1]  meta     HASH  counters
-- KEYS[2]  ready    ZSET  batch id -> visible from, Unix ms
-- KEYS[3]  leases   ZSET  batch id -> lease expiry, Unix ms
-- KEYS[4]  info     HASH  batch id -> its line
-- KEYS[5]  dead     ZSET  batch id -> dead-lettered at, Unix ms
-- KEYS[6]  settled  ZSET  outcome:events:batch id:sealed ms -> when, Unix ms
-- KEYS[7]  leaving  HASH  batch id -> its record
-- KEYS[8]  births   ZSET  see shared/indexes.lua
-- KEYS[9]  released ZSET  see shared/indexes.lua
-- ARGV[1]  batch id
-- ARGV[2]  the state that it must have: 'ready' (or released, or with a lease that ran out) or 'dead'
-- ARGV[3]  Unix ms; a batch that was sealed later stays
-- ARGV[4]  its heading, as only the caller reads it
-- ARGV[5]  the outcome of which a flush is told that waits for it
-- Returns  the number of its events; 0 if it is in flight, settled, of another state, or too new.
-- Cost     O(log n), n = batches.
--@include clock
--@include in_index
--@include indexes
--@include info
--@include outcome
--@include taken
--@include room
local batch, line = read_info(KEYS[4], ARGV[1])
if not batch or tonumber(batch.sealed) > tonumber(ARGV[3]) then return 0 end
local now, at = now_ms(), nil
if ARGV[2] == 'dead' then
  at = redis.call('ZSCORE', KEYS[5], ARGV[1])
else
  local lease = redis.call('ZSCORE', KEYS[3], ARGV[1])
  if lease and tonumber(lease) > now then return 0 end
  at = lease or redis.call('ZSCORE', KEYS[2], ARGV[1])
end
if not at then return 0 end

-- A command that Redis denies leaves the batch where it is: each is tried before anything counts.
redis.call('ZREM', KEYS[2], '') -- allowed when out of memory, as are all writes after it
take_room_back(KEYS[1]) -- `accepted` falls: it would no longer tell what is counted
redis.call('HDEL', KEYS[4], '')
redis.call('HINCRBY', KEYS[1], 'leaving', 0)
local noting = try_to_note(KEYS[1], KEYS[6])
redis.call('HSET', KEYS[7], ARGV[1], string.format('%d:%s:%d:%d:%s%s',
  now, ARGV[2], at, #ARGV[4], ARGV[4], line))
for _, set in ipairs({ KEYS[2], KEYS[3], KEYS[5] }) do redis.call('ZREM', set, ARGV[1]) end
in_index(redis.pcall('ZREM', KEYS[8], ARGV[1]))
leave_released(KEYS[9], KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[4], ARGV[1])
redis.call('HINCRBY', KEYS[1], 'accepted', -batch.events)
redis.call('HINCRBY', KEYS[1], 'leaving', batch.events)
if ARGV[2] == 'dead' then
  redis.call('HINCRBY', KEYS[1], 'dead', -batch.events)
else
  redis.call('HINCRBY', KEYS[1], 'events', -batch.events)
  redis.call('HINCRBY', KEYS[1], 'bytes', -batch.bytes)
end
note_outcome(noting, KEYS[6], ARGV[1], ARGV[5], batch.events, ARGV[2] == 'dead' and -1 or batch.sealed)
return batch.events
