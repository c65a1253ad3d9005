-- shared/kept_contexts.lua: keep what there is of a batch's trace contexts; see shared/contexts.lua.
-- They never stay without a time at which they go: where that is denied, they are not kept.
local CONTEXTS_KEPT_MS = 86400000

local function is_let_expire(key) return type(redis.pcall('PEXPIRE', key, CONTEXTS_KEPT_MS)) == 'number' end

local function keep_contexts_of_batch(traced, id, contexts)
  redis.pcall('HSET', traced, id, contexts)
  if not is_let_expire(traced) then redis.pcall('HDEL', traced, id) end
end
