-- KEYS: the stream, how many bytes lie in it. ARGV: a batch, how many bytes may lie there. 1: it is there; 0: there is no room.
local lying = tonumber(redis.call('GET', KEYS[2]) or '0')
if lying + #ARGV[1] > tonumber(ARGV[2]) then return 0 end
redis.call('XADD', KEYS[1], '*', 'batch', ARGV[1])
redis.call('INCRBY', KEYS[2], #ARGV[1])
return 1
