package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"spindle/internal/api/client"
)

func (s fakeService) Sessions(context.Context) (client.Sessions, error) {
	return client.Sessions{Sessions: []client.SessionDetail{{ID: "1", Counts: client.Counts{Commands: 7}}}}, s.err
}

func (s fakeService) DropSession(_ context.Context, id string) error {
	s.did = "drop " + id
	return s.err
}

func (s fakeService) TraceSession(_ context.Context, id string, r client.TraceRequest, w io.Writer) error {
	s.did = fmt.Sprint("trace ", id, " ", r)
	if s.err != nil {
		return s.err
	}
	_, err := io.WriteString(w, "pcapng")
	return err
}

func TestSessionRequests(t *testing.T) {
	gone := &client.Error{Status: http.StatusNotFound, Message: "no session", Hint: "1"}
	for _, tt := range []struct {
		request     string
		err         error
		status      int
		answer, did string
	}{
		{"GET /v1/sessions", nil, 200, `{"sessions":[{"id":"1",`, ""},
		{"GET /v1/sessions", nil, 200, `"commands":7,`, ""},
		{"DELETE /v1/sessions/7", nil, 200, `{}`, "drop 7"},
		{"DELETE /v1/sessions/7", gone, 404, `{"error":"no session","hint":"1"}`, "drop 7"},
		{"GET /v1/sessions/7/trace", nil, 200, "pcapng", "trace 7 {0 0s 0}"},
		{"GET /v1/sessions/7/trace?snaplen=64&for=10s&count=5", nil, 200, "pcapng", "trace 7 {64 10s 5}"},
		{"GET /v1/sessions/7/trace", gone, 404, `{"error":"no session","hint":"1"}`, "trace 7 {0 0s 0}"},
		{"GET /v1/sessions/7/trace", errors.New("broken"), 500, `{"error":"broken"}`, "trace 7 {0 0s 0}"},
		{"GET /v1/sessions/7/trace?snaplen=0", nil, 400, `snaplen: \"0\" is no number from 1`, ""},
		{"GET /v1/sessions/7/trace?count=x", nil, 400, `count: \"x\" is no number from 1`, ""},
		{"GET /v1/sessions/7/trace?for=-1s", nil, 400, `for: \"-1s\" is no duration up to 24h0m0s`, ""},
		{"GET /v1/sessions/7/trace?for=25h", nil, 400, `is no duration`, ""},
		{"POST /v1/sessions/7", nil, 404, `is not of this API`, ""},
	} {
		f := &fake{err: tt.err}
		method, path, _ := strings.Cut(tt.request, " ")
		w := httptest.NewRecorder()
		New(fakeService{f}, slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest(method, path, nil))
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.answer) || f.did != tt.did {
			t.Errorf("%s: %d %s, did %q; want %d %s, %q", tt.request, w.Code, w.Body, f.did, tt.status, tt.answer, tt.did)
		}
	}
	q := client.TraceRequest{SnapLen: 64, Count: 5, For: 1e10}.Query().Encode()
	if want := "count=5&for=10s&snaplen=64"; q != want {
		t.Errorf("Query = %s; want %s", q, want)
	}
}
