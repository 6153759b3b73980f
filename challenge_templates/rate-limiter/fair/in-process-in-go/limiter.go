package main

import (
	"sync"
	"time"
)

type limit struct{ units, windowMs int64 }

type entry struct {
	at   time.Time
	cost int64
}

type decision struct {
	allowed, known bool
	used           int64
	limit          limit
	retryAfterMs   int64
}

// limiter keeps a sliding log for each key in the memory of this replica, which knows nothing of the others.
type limiter struct {
	mu     sync.Mutex
	limits map[string]limit
	logs   map[string][]entry
}

func newLimiter() *limiter {
	l := &limiter{limits: map[string]limit{}, logs: map[string][]entry{}}
	go l.sweep()
	return l
}

func (l *limiter) set(key string, to limit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limits[key] = to
}

// spend consumes cost units, all or none; a cost of 0 only asks.
func (l *limiter) spend(key string, cost int64) decision {
	l.mu.Lock()
	defer l.mu.Unlock()
	to, known := l.limits[key]
	if !known {
		return decision{}
	}
	now := time.Now()
	log, used := l.forget(key, now, to.windowMs)
	found := decision{known: true, used: used, limit: to, retryAfterMs: to.windowMs}
	if cost > to.units {
		return found
	}
	if room := to.units - used; cost > room {
		for _, it := range log {
			if room += it.cost; room >= cost {
				found.retryAfterMs = to.windowMs - now.Sub(it.at).Milliseconds()
				break
			}
		}
		return found
	}
	if cost > 0 {
		l.logs[key] = append(log, entry{now, cost})
	}
	found.allowed, found.used = true, used+cost
	return found
}

// forget drops what has left the window, and returns the rest and its sum.
func (l *limiter) forget(key string, now time.Time, windowMs int64) ([]entry, int64) {
	log, window := l.logs[key], time.Duration(windowMs)*time.Millisecond
	for len(log) > 0 && now.Sub(log[0].at) >= window {
		log = log[1:]
	}
	var used int64
	for _, it := range log {
		used += it.cost
	}
	if len(log) == 0 {
		delete(l.logs, key)
	} else {
		l.logs[key] = log
	}
	return log, used
}

func (l *limiter) sweep() {
	for range time.Tick(2 * time.Second) {
		l.mu.Lock()
		for key := range l.logs {
			l.forget(key, time.Now(), l.limits[key].windowMs)
		}
		l.mu.Unlock()
	}
}
