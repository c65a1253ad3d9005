-- shared/leaving.lua: the record of a batch that has left its queue for a move and has not gone yet.
-- A record is since_ms:state:at_ms:k:heading:line, with state 'ready' or 'dead', at_ms its time in that state,
-- k the length of the heading (where it moves to, for the mover only), and line its line in info.

-- The state, time and line of a batch with this heading; nothing if it does not, or the record cannot be read.
local function read_leaving(key, id, heading)
  local state, at, length, rest =
    string.match(redis.call('HGET', key, id) or '', '^%d+:(%a+):(%d+):(%d+):(.*)$')
  if not rest or string.sub(rest, 1, tonumber(length)) ~= heading then return nil end
  return state, at, string.sub(rest, length + 1)
end
