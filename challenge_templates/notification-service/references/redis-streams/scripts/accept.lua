-- KEYS: the notification, its user's preferences. ARGV: id, fingerprint, user, channel, body, priority, due in ms, kept for s.
local kept = redis.call('HMGET', KEYS[1], 'fingerprint', 'state')
if kept[1] then return kept end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local state = redis.call('HGET', KEYS[2], ARGV[4]) == '0' and 'suppressed' or 'queued'
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[2], 'user', ARGV[3], 'channel', ARGV[4], 'body', ARGV[5],
  'priority', ARGV[6], 'state', state, 'attempts', 0)
redis.call('EXPIRE', KEYS[1], ARGV[8])
if state == 'queued' and tonumber(ARGV[7]) > now then
  redis.call('ZADD', 'later:' .. ARGV[4], ARGV[7], ARGV[1])
elseif state == 'queued' then
  redis.call('XADD', 'stream:' .. ARGV[4] .. ':' .. ARGV[6], '*', 'id', ARGV[1])
end
return {ARGV[2], state}
