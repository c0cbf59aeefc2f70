package iscsi

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Sizes of the memory that answers are made in, in bytes.
const (
	chunkSize  = 256 << 10     // a full chunk: the best of those measured, docs/performance.md
	connBudget = 2 * chunkSize // a connection's: one chunk is read while one is on the wire
)

// classes are the sizes that chunks come in, so that a small answer takes
// little of the budget.
var classes = [...]int{4 << 10, 16 << 10, 64 << 10, chunkSize}

// A budget bounds the memory of all answers, and of data-out that was asked
// for. Waiting is first come, first served, and ends with the task. Data that
// arrives unasked has memory of its own: commands that wait for a gap to close
// keep it for as long as their initiator likes, and answers must go on.
type budget struct {
	total   quota
	unasked quota
	pools   [len(classes)]sync.Pool
}

// set makes the budget that of l. What is on loan beyond it comes back in time.
func (b *budget) set(l *Limits) {
	b.total.resize(max(memoryOf(l.Memory), connBudget))
	b.unasked.resize(max(memoryOf(l.UnsolicitedMemory), connBudget))
}

// A chunk is memory on loan.
type chunk struct {
	mem   []byte
	class int
}

func classOf(n int) int {
	for i, size := range classes {
		if n <= size {
			return i
		}
	}
	return len(classes) - 1
}

// lend returns a chunk of at least n bytes, or a full one when n is more,
// counted against the connection and the whole.
func (b *budget) lend(ctx context.Context, conn *quota, w *waiter, n int) (*chunk, error) {
	class := classOf(n)
	size := classes[class]
	if err := conn.acquire(ctx, w, size); err != nil {
		return nil, err
	}
	if err := b.total.acquire(ctx, w, size); err != nil {
		conn.release(size)
		return nil, err
	}
	return b.take(class), nil
}

// try lends n bytes without waiting, for data that arrived unasked, counted
// against the share of its address and the whole.
func (b *budget) try(share *quota, n int) *chunk {
	class := classOf(n)
	if !share.tryAcquire(classes[class]) {
		return nil
	}
	if !b.unasked.tryAcquire(classes[class]) {
		share.release(classes[class])
		return nil
	}
	return b.take(class)
}

func (b *budget) take(class int) *chunk {
	if c, ok := b.pools[class].Get().(*chunk); ok {
		return c
	}
	return &chunk{make([]byte, classes[class]), class}
}

// giveBack ends a loan of lend.
func (b *budget) giveBack(conn *quota, c *chunk) {
	b.pools[c.class].Put(c)
	b.total.release(classes[c.class])
	conn.release(classes[c.class])
}

// giveUnasked ends a loan of try.
func (b *budget) giveUnasked(share *quota, c *chunk) {
	b.pools[c.class].Put(c)
	b.unasked.release(classes[c.class])
	share.release(classes[c.class])
}

// starvation is how long an answer waits for memory that hosts hold which take
// nothing of what they asked for: a third of the time that Linux gives a command.
const starvation = 10 * time.Second

var errHoards = errors.New("the initiator takes nothing of what it asked for, and others wait for the memory")

// dropStuck ends the connections whose writes have not gone on for so long.
// Their initiators log in again when they go on.
func (s *Server) dropStuck() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for c := range s.conns {
		if c.out.stuckFor(now) >= s.memory.total.patience {
			c.fail(errHoards)
		}
	}
}
