package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
)

// TestInTurn answers one after the other, and makes nothing for somebody who has
// gone while he waited.
func TestInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at, most, made int
		next := make(chan struct{})
		h := inTurn(func(http.ResponseWriter, *http.Request) {
			at, made = at+1, made+1
			most = max(most, at)
			<-next
			at--
		})
		ask := func(ctx context.Context) {
			h(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/services", nil))
		}
		leaving, leave := context.WithCancel(t.Context())
		go ask(t.Context())
		synctest.Wait()
		go ask(leaving)
		go ask(t.Context())
		synctest.Wait()
		if made != 1 {
			t.Errorf("%d answers are made at once", made)
		}
		leave()
		synctest.Wait()
		next <- struct{}{}
		next <- struct{}{}
		synctest.Wait()
		if made != 2 || most != 1 || at != 0 {
			t.Errorf("%d answers were made, %d at once, %d are not over; want 2, 1, 0", made, most, at)
		}
	})
}
