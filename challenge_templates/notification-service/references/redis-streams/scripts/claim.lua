-- ARGV: channel, group, worker, how many, idle ms. Moves what is due into its stream, and takes up to so many messages, urgent
-- ones first, what another worker has left lying for so long among them: {stream, message, id, user, body, attempts} each.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local later, found = 'later:' .. ARGV[1], {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', later, '-inf', now, 'LIMIT', 0, 100)) do
  redis.call('ZREM', later, id)
  local priority = redis.call('HGET', 'n:' .. id, 'priority')
  if priority then redis.call('XADD', 'stream:' .. ARGV[1] .. ':' .. priority, '*', 'id', id) end
end

local function take(stream, message, id)
  local n = 'n:' .. id
  local kept = redis.call('HMGET', n, 'state', 'user', 'channel', 'body')
  if kept[1] == 'queued' and redis.call('HGET', 'p:' .. kept[2], kept[3]) == '0' then
    redis.call('HSET', n, 'state', 'suppressed')
    kept[1] = 'suppressed'
  end
  if kept[1] == 'queued' then
    table.insert(found, {stream, message, id, kept[2], kept[4], redis.call('HINCRBY', n, 'attempts', 1)})
  else
    redis.call('XACK', stream, ARGV[2], message)
    redis.call('XDEL', stream, message)
  end
end

for _, priority in ipairs({'high', 'low'}) do
  local stream = 'stream:' .. ARGV[1] .. ':' .. priority
  local left = ARGV[4] - #found
  if left > 0 then
    local lying = redis.call('XAUTOCLAIM', stream, ARGV[2], ARGV[3], ARGV[5], '0-0', 'COUNT', left)[2]
    for _, it in ipairs(lying) do if it then take(stream, it[1], it[2][2]) end end
  end
  left = ARGV[4] - #found
  if left > 0 then
    local read = redis.call('XREADGROUP', 'GROUP', ARGV[2], ARGV[3], 'COUNT', left, 'STREAMS', stream, '>')
    if read then for _, it in ipairs(read[1][2]) do take(stream, it[1], it[2][2]) end end
  end
end
return found
