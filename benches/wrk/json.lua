-- Prints the result as one JSON object on the last line of wrk's output, with the names that
-- `cargo bench -- load URL --json` uses:
--
--   wrk -t1 -c64 -d5s -s benches/wrk/json.lua http://127.0.0.1:8080/ | tail -n 1
--
-- Times are in microseconds, as wrk measures them. Where some answers take longer than they
-- should at the average rate, wrk adds to its latencies those of the requests that it could not
-- send meanwhile; `load` doesn't, in its closed loop.

local function object(fields)
  local parts = {}
  for index, field in ipairs(fields) do
    parts[index] = string.format('"%s":%s', field[1], field[2])
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

local function whole(number)
  return string.format("%d", number)
end

local function decimal(number)
  -- Nothing measured is no number in JSON.
  if number ~= number then return "null" end
  return string.format("%.3f", number)
end

function done(summary, latency, requests)
  local seconds = summary.duration / 1e6
  local errors = summary.errors
  print(object({
    { "requests", whole(summary.requests) },
    { "requests_per_second", decimal(summary.requests / seconds) },
    { "elapsed_seconds", decimal(seconds) },
    { "latency_us", object({
      { "mean", decimal(latency.mean) },
      { "p50", decimal(latency:percentile(50)) },
      { "p90", decimal(latency:percentile(90)) },
      { "p99", decimal(latency:percentile(99)) },
      { "p99_9", decimal(latency:percentile(99.9)) },
      { "max", decimal(latency.max) },
    }) },
    { "errors", object({
      { "connect", whole(errors.connect) },
      { "read", whole(errors.read) },
      { "write", whole(errors.write) },
      { "timeout", whole(errors.timeout) },
      { "status", whole(errors.status) },
    }) },
    { "bytes_received", whole(summary.bytes) },
  }))
end
