-- shared/taken.lua: room for appends, and what was taken of it: stored by append.lua, and not in the counters yet.
-- Room is one number, events * ROOM_UNIT + bytes, so that one command takes an event and its bytes out of it:
-- enqueue.lua writes it as `granted` and as `room`, and append.lua lowers `room`.
-- Scripts of 0.1 know nothing of it: their sweep adopts what it finds beyond the counted events of the open list.
-- So `granted_accepted` keeps what `accepted` was when the room was granted. All scripts of 0.1 that count
-- events raise it, and those of this release take the room back first. While it is the same, nothing of what
-- was taken is counted. If it differs, only the length of the list can tell.
-- Room that scripts of 0.1 grant is granted_events and granted_bytes; theirs take it out of room_events and
-- room_bytes.
local ROOM_UNIT = 4294967296
local MOST_ROOM_EVENTS, MOST_ROOM_BYTES = 1048576, 2147483647

local function as_room(events, bytes)
  return math.min(events, MOST_ROOM_EVENTS) * ROOM_UNIT + math.min(bytes, MOST_ROOM_BYTES)
end

-- Events and bytes. `uncounted` is the number of events in the open list beyond the counted ones; false if it is
-- not known: then events that may be counted are left to the sweep, which adopts what is not.
local function taken_of_room(granted, room, granted_accepted, accepted, uncounted)
  if not granted then return 0, 0 end
  local taken = granted - (room or 0)
  local events = math.floor(taken / ROOM_UNIT)
  if granted_accepted ~= accepted and events ~= uncounted then return 0, 0 end
  return events, taken % ROOM_UNIT
end
