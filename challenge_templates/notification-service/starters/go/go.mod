module notification-service

go 1.22

// Offered, never required:
// require github.com/jackc/pgx/v5 v5.7.6
// require github.com/redis/go-redis/v9 v9.16.0
// require github.com/rabbitmq/amqp091-go v1.14.0
