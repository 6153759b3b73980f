module rate-limiter

go 1.22

// Offered, never required:
// require github.com/jackc/pgx/v5 v5.7.6
// require github.com/redis/go-redis/v9 v9.16.0
