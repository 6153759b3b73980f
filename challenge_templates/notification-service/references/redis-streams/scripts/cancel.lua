-- KEYS: the notification. ARGV: id. 1: it is cancelled; 0: too late; -1: there is none.
local kept = redis.call('HMGET', KEYS[1], 'state', 'attempts', 'channel')
if not kept[1] then return -1 end
if kept[1] == 'cancelled' then return 1 end
if kept[1] ~= 'queued' or kept[2] ~= '0' then return 0 end
redis.call('HSET', KEYS[1], 'state', 'cancelled')
redis.call('ZREM', 'later:' .. kept[3], ARGV[1])
return 1
