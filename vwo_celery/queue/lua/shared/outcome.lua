-- shared/outcome.lua: note what became of a batch, while a flush waits for it.
-- A batch that is gone leaves no trace but counters, which count other batches as well. So a flush asks for
-- notes (meta's flush_until), and counts these. Nobody else needs them: they are kept for a minute.
local NOTES_KEPT_MS = 60000

-- Whether notes are wanted: the time of the note, or nil. A command that Redis denies is denied here, so this
-- comes before what may not be left half done, and the note after it: a note is never of what did not happen.
local function try_to_note(meta, notes)
  local wanted = redis.call('HGET', meta, 'flush_until')
  local now = wanted and now_ms()
  if not wanted or now > tonumber(wanted) then return nil end
  redis.call('ZREMRANGEBYSCORE', notes, '-inf', now - NOTES_KEPT_MS)
  redis.call('ZADD', notes, 'XX', 0, '')
  redis.call('PEXPIRE', notes, NOTES_KEPT_MS)
  return now
end

-- `at` is the answer of try_to_note. `sealed` is the time from which the batch's age counts: a flush waits for
-- what was sealed before it began. It is -1 for a dead letter, which no flush waits for, but may have seen die.
local function note_outcome(at, notes, id, outcome, events, sealed)
  if not at then return end
  redis.call('ZADD', notes, at, outcome .. ':' .. events .. ':' .. id .. ':' .. sealed)
  redis.call('PEXPIRE', notes, NOTES_KEPT_MS)
end
