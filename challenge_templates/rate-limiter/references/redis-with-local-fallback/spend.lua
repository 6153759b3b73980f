-- Of each key, the list `log:{key}` holds a "microsecond:cost" for each allowed check, oldest first, and `used:{key}`
-- the sum of their costs. All replicas go by the server's clock. A cost of 0 only asks.
local cost, limit, window_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local used = tonumber(redis.call('GET', KEYS[2]) or 0)

local function entry(index)
  local text = redis.call('LINDEX', KEYS[1], index)
  if not text then return nil end
  local at, units = string.match(text, '(%d+):(%d+)')
  return tonumber(at), tonumber(units)
end

-- Forget what has left the window.
local at, units = entry(0)
while at and at + window_ms * 1000 <= now do
  redis.call('LPOP', KEYS[1])
  redis.call('DECRBY', KEYS[2], string.format('%.0f', units))
  used = used - units
  at, units = entry(0)
end

if cost > limit then return {0, used, window_ms} end

if used + cost > limit then -- refuse; there is room when enough of the oldest have left
  local room, index = limit - used, 0
  while room < cost do
    at, units = entry(index)
    room, index = room + units, index + 1
  end
  return {0, used, math.max(0, math.ceil((at + window_ms * 1000 - now) / 1000))}
end

if cost > 0 then -- allow; the log and its sum go together, a window after the last of these
  used = used + cost
  redis.call('RPUSH', KEYS[1], string.format('%.0f:%.0f', now, cost))
  redis.call('PEXPIRE', KEYS[1], window_ms)
  redis.call('SET', KEYS[2], string.format('%.0f', used), 'PX', window_ms)
end
return {1, used, 0}
