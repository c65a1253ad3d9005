-- shared/in_index.lua: the answer of a command on births or released, which only serve looks, see shared/indexes.lua.
-- It is false where Redis refuses the command, as where another program made the key something else. That stops
-- nothing: restore.lua puts right what is missing, once the key is gone.
local function in_index(answer) return (type(answer) ~= 'table' or not answer.err) and answer end
