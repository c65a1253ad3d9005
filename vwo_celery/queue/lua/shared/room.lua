-- shared/room.lua: bring what append.lua stored into the counters, and take its room away; see shared/taken.lua.
-- Whoever seals, adopts or counts the open list, or changes `accepted`, does this first. `length` is that of the
-- open list, nil if the caller does not know it.
local function take_room_back(meta, length)
  local r = redis.call('HMGET', meta, 'granted_events', 'room_events', 'granted_bytes', 'room_bytes',
    'granted', 'room', 'granted_accepted', 'accepted', 'open_events')
  if not r[1] and not r[5] then return end
  local events, bytes = (r[1] or 0) - (r[2] or 0), (r[3] or 0) - (r[4] or 0)
  local uncounted = length and length - (r[9] or 0) - events
  local taken_events, taken_bytes = taken_of_room(r[5], r[6], r[7], r[8], uncounted)
  events, bytes = events + taken_events, bytes + taken_bytes
  redis.call('HDEL', meta, '') -- if the fields could not be removed, the events would be counted twice
  if events > 0 then
    for _, field in ipairs({ 'accepted', 'events', 'open_events' }) do
      redis.call('HINCRBY', meta, field, events)
    end
    for _, field in ipairs({ 'bytes', 'open_bytes' }) do redis.call('HINCRBY', meta, field, bytes) end
  end
  redis.call('HDEL', meta, 'granted_events', 'room_events', 'granted_bytes', 'room_bytes',
    'granted', 'room', 'granted_accepted')
end
