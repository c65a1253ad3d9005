-- shared/tally.lua: raise counters of a shard's tally, with the change of state that they count.
-- So a count is as sure as that change, whoever dies after it. A counter that Redis refuses to raise, as where
-- another program made the key something else, stops nothing: it is only not counted.
local function tally(key, field, more) redis.pcall('HINCRBY', key, field, more) end

-- What the caller counted meanwhile: field, number, field, number, … in ARGV from `first` on.
local function tally_given(key, first)
  for i = first, #ARGV, 2 do redis.pcall('HINCRBY', key, ARGV[i], ARGV[i + 1]) end
end
