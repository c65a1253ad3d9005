-- shared/info.lua: reading and writing one batch's line in the info hash.
-- A line is attempt:lost:events:bytes:first_ms:sealed_ms:error, all but the last whole numbers. A line of
-- another shape, as of a later release, is left alone: no script but those of its own release settles its batch.
local MOST_DIGITS = 15 -- of a number that Lua holds without loss

local function parse_info(line)
  local attempt, lost, events, bytes, first, sealed, err =
    string.match(line, '^(%d+):(%d+):(%d+):(%d+):(%d+):(%d+):(.*)$')
  if not err or math.max(#attempt, #lost, #events, #bytes, #first, #sealed) > MOST_DIGITS then
    return nil
  end
  return { attempt = tonumber(attempt), lost = tonumber(lost), events = tonumber(events),
           bytes = tonumber(bytes), first = first, sealed = sealed, error = err }
end

-- The batch and its line; no batch if the line cannot be read, and no line either if there is none.
local function read_info(key, id)
  local line = redis.call('HGET', key, id)
  if not line then return nil end
  return parse_info(line), line
end

local function write_info(key, id, b)
  redis.call('HSET', key, id, b.attempt .. ':' .. b.lost .. ':' .. b.events .. ':' .. b.bytes
    .. ':' .. b.first .. ':' .. b.sealed .. ':' .. b.error)
end
