-- KEYS: the list, all ids that ever came. ARGV: how many events may lie there; then, of each event, its id and itself.
-- How many of them are new; -1: there is no room.
if redis.call('LLEN', KEYS[1]) + (#ARGV - 1) / 2 > tonumber(ARGV[1]) then return -1 end
local new = 0
for i = 2, #ARGV, 2 do
  if redis.call('SADD', KEYS[2], ARGV[i]) == 1 then
    redis.call('RPUSH', KEYS[1], ARGV[i + 1])
    new = new + 1
  end
end
return new
