-- shared/room.lua: bring what append.lua stored into the counters, and take its room away.
-- enqueue.lua grants append.lua room for so many events and bytes; what is used up of it has been stored
-- and is not in the counters yet. Whoever seals, adopts or counts the open list does this first.
local function take_room_back(meta)
  local r = redis.call('HMGET', meta, 'granted_events', 'room_events', 'granted_bytes', 'room_bytes')
  if not r[1] then return end
  local events, bytes = r[1] - r[2], r[3] - r[4]
  redis.call('HDEL', meta, '') -- if the fields could not be removed, the events would be counted twice
  if events > 0 then
    for _, field in ipairs({ 'accepted', 'events', 'open_events' }) do
      redis.call('HINCRBY', meta, field, events)
    end
    for _, field in ipairs({ 'bytes', 'open_bytes' }) do redis.call('HINCRBY', meta, field, bytes) end
  end
  redis.call('HDEL', meta, 'granted_events', 'room_events', 'granted_bytes', 'room_bytes')
end
