-- shared/info.lua: reading and writing one batch's line in the info hash.
-- A line is attempt:lost:events:bytes:first_ms:sealed_ms:error, all but the last whole numbers.
local function read_info(key, id)
  local line = redis.call('HGET', key, id)
  if not line then return nil end
  local attempt, lost, events, bytes, first, sealed, err =
    string.match(line, '^(%d+):(%d+):(%d+):(%d+):(%d+):(%d+):(.*)$')
  return { attempt = tonumber(attempt), lost = tonumber(lost), events = tonumber(events),
           bytes = tonumber(bytes), first = first, sealed = sealed, error = err }
end

local function write_info(key, id, b)
  redis.call('HSET', key, id, b.attempt .. ':' .. b.lost .. ':' .. b.events .. ':' .. b.bytes
    .. ':' .. b.first .. ':' .. b.sealed .. ':' .. b.error)
end
