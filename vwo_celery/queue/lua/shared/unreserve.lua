-- shared/unreserve.lua: put back what shared/reserve.lua took; nothing has happened then.
-- Room that was not there is not there afterwards, or a shard that was forgotten would have a key again.
if left ~= cost or type(redis.pcall('HDEL', KEYS[2], 'room')) == 'table' then
  redis.call('HINCRBY', KEYS[2], 'room', 0 - cost)
end
if type(seen) == 'string' then
  redis.call('SET', KEYS[3], seen, 'KEEPTTL')
elseif fits and not seen then
  redis.call('SET', KEYS[3], 0, 'PXAT', 1) -- in the past: the mark is gone, without a further command
end
