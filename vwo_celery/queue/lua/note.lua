-- note.lua: set fields of a hash, such as a shard's meta or the signs of life; also when Redis is out of memory.
-- KEYS[1]  the hash
-- ARGV[1+] field, value, field, value, …
-- Returns  1.
-- Cost     O(1).
redis.call('HDEL', KEYS[1], '') -- allowed when out of memory, as are all writes after it
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
