-- shared/outcome.lua: note what became of a batch that is about to be gone, while a flush waits for it.
-- A batch that is gone leaves no trace but counters, which count other batches as well. So a flush asks for
-- notes (meta's flush_until), and counts these. Nobody else needs them: they are kept for a minute.
local function note_outcome(meta, notes, id, outcome, events)
  local wanted = redis.call('HGET', meta, 'flush_until')
  local now = wanted and now_ms()
  if not wanted or now > tonumber(wanted) then return end
  local KEPT_MS = 60000
  redis.call('ZREMRANGEBYSCORE', notes, '-inf', now - KEPT_MS)
  redis.call('ZADD', notes, now, outcome .. ':' .. events .. ':' .. id)
  redis.call('PEXPIRE', notes, KEPT_MS)
end
