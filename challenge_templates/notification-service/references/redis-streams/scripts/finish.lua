-- KEYS: stream. ARGV: group, message, id, state; or, to be tried again, channel and the pause in ms.
local n = 'n:' .. ARGV[3]
if redis.call('HGET', n, 'state') == 'queued' then
  if ARGV[4] ~= 'queued' then
    redis.call('HSET', n, 'state', ARGV[4])
  else
    local time = redis.call('TIME')
    redis.call('ZADD', 'later:' .. ARGV[5], time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[6], ARGV[3])
  end
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
return 1
