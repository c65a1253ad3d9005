-- shared/reserve.lua: take `-cost` out of the room, and raise the mark, for events that are stored right afterwards.
-- No function, since every event would pay for its making. It needs `cost`, KEYS[2] (meta), KEYS[3] (mark), ARGV[1]
-- (the mark's new text) and ARGV[2] (its text so far), and tells whether all is `reserved`. If not, or if the
-- events cannot be stored, shared/unreserve.lua puts everything back.
-- The first write is one that Redis denies when it is out of memory. The mark keeps its time to live: enqueue.lua
-- gives it, and clients use enqueue.lua often enough, see marks.py.
local left = redis.call('HINCRBY', KEYS[2], 'room', cost)
-- Too few bytes borrow from the events: what is left then looks like more bytes than are ever granted.
local fits = left >= 0 and left % 4294967296 < 2147483648
local seen = fits and redis.pcall('SET', KEYS[3], ARGV[1], 'KEEPTTL', 'GET')
local reserved = fits and seen == ARGV[2] -- else seen before, or Redis lost some, or a clone's
