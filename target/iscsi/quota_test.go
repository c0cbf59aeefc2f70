package iscsi

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
)

func TestQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &quota{free: 10}
		var mu sync.Mutex
		var order []int
		wait := func(ctx context.Context, n int) {
			if q.acquire(ctx, &waiter{}, n) == nil {
				mu.Lock()
				order = append(order, n)
				mu.Unlock()
			}
		}
		if err := q.acquire(t.Context(), &waiter{}, 8); err != nil {
			t.Fatal(err)
		}
		gone, cancel := context.WithCancel(t.Context())
		go wait(gone, 9)
		synctest.Wait()
		go wait(t.Context(), 7)
		synctest.Wait()
		go wait(t.Context(), 1) // would fit, but came last
		synctest.Wait()
		if len(order) != 0 || q.tryAcquire(1) {
			t.Errorf("served out of turn: %v", order)
		}
		cancel()
		synctest.Wait()
		q.release(8)
		synctest.Wait()
		if q.free != 2 || len(order) != 2 {
			t.Errorf("%d free, served %v; want 2 free, 7 and 1 served", q.free, order)
		}
	})
}

// However waits end, nothing of a quota is lost.
func TestQuotaLosesNothing(t *testing.T) {
	q := &quota{free: 100}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			w := &waiter{}
			for n := range 500 {
				ctx, cancel := context.WithCancel(t.Context())
				if n%3 == 0 {
					go cancel()
				}
				if q.acquire(ctx, w, 10+i*10) == nil {
					q.release(10 + i*10)
				}
				cancel()
			}
		})
	}
	all.Wait()
	if q.free != 100 || len(q.waiting) != 0 {
		t.Errorf("%d free, %d waiting; want 100, 0", q.free, len(q.waiting))
	}
}
