-- shared/copies.lua: what is known of the copies of VWO's settings that an account and key have.
-- The field `index` says of each: its name, the Unix ms of its fetching, and from when it is due again.
local function read_copies(key)
  local found = {}
  for name, at, due in string.gmatch(redis.call('HGET', key, 'index') or '', '(%w+) (%d+) (%d+);') do
    found[name] = { at = tonumber(at), due = tonumber(due) }
  end
  return found
end
