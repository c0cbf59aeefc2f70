package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"spindle/internal/api/client"
)

// A fake is a service with one drive, cd0.
type fake struct {
	did     string
	err     error
	changed chan struct{}
}

func (f *fake) Tray(name string) (Tray, error) {
	if name != "cd0" {
		return nil, &client.Error{Status: http.StatusNotFound, Message: "no drive", Hint: "cd0"}
	}
	return f, nil
}

func (f *fake) Insert(_ context.Context, image string, way Way) error {
	f.did = "insert " + image + how(way)
	return f.err
}

func (f *fake) Eject(_ context.Context, way Way) error {
	f.did = "eject" + how(way)
	return f.err
}

func how(way Way) (text string) {
	if way.Force {
		text = " by force"
	}
	if way.Wait >= 0 {
		text += fmt.Sprintf(" within %v", way.Wait)
	}
	return text
}

func (f *fake) Holders() []client.Holder { return nil }

func (f *fake) Status(context.Context) (client.Drive, error) { return client.Drive{Name: "cd0"}, nil }

func (f *fake) Listen() (<-chan client.AudioFrame, func()) {
	frames := make(chan client.AudioFrame, 2)
	frames <- client.AudioFrame{PCM: bytes.Repeat([]byte{7}, client.AudioFrameSize)}
	frames <- client.AudioFrame{Dropped: 3, Late: true}
	close(frames)
	return frames, func() { f.did = "stop" }
}

func (f *fake) Trace(_ context.Context, follow bool, send func(...any) error) error {
	f.did = "trace"
	if follow {
		f.did += " on"
	}
	if f.err != nil {
		return f.err
	}
	return errors.Join(send("header"), send(1, 2))
}

// A fakeService is fake with the status of a service.
type fakeService struct{ *fake }

func (s fakeService) Status(context.Context) (client.Status, error) {
	return client.Status{Version: "test"}, nil
}

func (s fakeService) Images(_ context.Context, withInfo bool) ([]client.Image, error) {
	i := client.Image{Name: "a.iso"}
	if withInfo {
		i.Info = &client.Info{Name: "a.iso"}
	}
	return []client.Image{i}, nil
}

func (s fakeService) Inspect(_ context.Context, name string) (client.Info, error) {
	return client.Info{Name: name}, nil
}

func (s fakeService) Verify(_ context.Context, image string) (client.Verified, error) {
	s.did = "verify " + image
	return client.Verified{Name: image, Checks: client.Checks{State: "ok"}}, s.err
}
func (s fakeService) Health(context.Context) error { return nil }
func (s fakeService) Changes() <-chan struct{}     { return s.changed }

func TestRequests(t *testing.T) {
	held := &client.Error{
		Status: http.StatusConflict, Message: "held", Hint: "wait",
		Holders: []client.Holder{{Initiator: "iqn.h", Since: time.Unix(0, 0).UTC()}},
	}
	const insert, eject = "POST /v1/drives/cd0/insert", "POST /v1/drives/cd0/eject"
	for _, tt := range []struct {
		request, body string
		err           error
		status        int
		answer, did   string
	}{
		{"GET /v1/status", "", nil, 200, `"version":"test"`, ""},
		{"GET /v1/images", "", nil, 200, `"name":"a.iso"`, ""},
		{"GET /v1/images/inspect?name=x%2Fy.iso", "", nil, 200, `"name":"x/y.iso"`, ""},
		{"GET /v1/images?info=1", "", nil, 200, `"info":{"name":"a.iso"`, ""},
		{"POST /v1/images/verify", `{"image":"a.iso"}`, nil, 200, `{"name":"a.iso","checks":{"state":"ok"}}`, "verify a.iso"},
		{"POST /v1/images/verify", `{"image":"a.iso"}`, errors.New("broken"), 500, `{"error":"broken"}`, "verify a.iso"},
		{"POST /v1/images/verify", `{"images":"a.iso"}`, nil, 400, `unknown field`, ""},
		{"GET /v1/health", "", nil, 200, `{}`, ""},
		{insert, `{"image":"a.iso"}`, nil, 200, `"name":"cd0"`, "insert a.iso"},
		{insert, `{"image":"a.iso","force":true}`, nil, 200, `"name":"cd0"`, "insert a.iso by force"},
		{eject, ``, nil, 200, `"name":"cd0"`, "eject"},
		{eject, `{"force":true}`, nil, 200, `"name":"cd0"`, "eject by force"},
		{eject, `{"wait":"1m"}`, nil, 200, `"name":"cd0"`, "eject within 1m0s"},
		{insert, `{"image":"a.iso","wait":"0s"}`, nil, 200, `"name":"cd0"`, "insert a.iso within 0s"},
		{eject, `{"wait":"30"}`, nil, 400, `"error":"wait: \"30\" is no duration from 0s to 10m0s","hint":"write it as`, ""},
		{eject, `{"wait":"-1s"}`, nil, 400, `is no duration`, ""},
		{insert, `{"image":"a.iso","wait":"11m"}`, nil, 400, `is no duration`, ""},
		{eject, `{}`, held, 409, `{"error":"held","hint":"wait","holders":[{"initiator":"iqn.h","since":"1970-01-01T00:00:00Z"}]}`, "eject"},
		{eject, `{}`, errors.New("broken (hint: mend it)"), 500, `{"error":"broken","hint":"mend it"}`, "eject"},
		{insert, `{"image":"a.iso","now":1}`, nil, 400, `unknown field \"now\"`, ""},
		{insert, `{"image":1}`, nil, 400, `request: `, ""},
		{insert, `{"image":"a"}{"image":"b"}`, nil, 400, `more than one`, ""},
		{insert, `{"image":"` + strings.Repeat("a", maxBody) + `"}`, nil, 400, `too large`, ""},
		{"GET /v1/drives/cd0/trace", "", nil, 200, "\"header\"\n1\n2\n", "trace"},
		{"GET /v1/drives/cd0/trace?follow=1", "", nil, 200, "\"header\"\n1\n2\n", "trace on"},
		{"GET /v1/drives/cd0/trace", "", errors.New("broken"), 500, `{"error":"broken"}`, "trace"},
		{"GET /v1/drives/cd1/trace", "", nil, 404, `"no drive","hint":"cd0"`, ""},
		{"POST /v1/drives/cd1/eject", `{}`, nil, 404, `"no drive","hint":"cd0"`, ""},
		{"GET /v1/drives/cd0/eject", "", nil, 404, `is not of this API`, ""},
		{"GET /v2/status", "", nil, 404, `GET /v2/status is not of this API`, ""},
	} {
		f := &fake{err: tt.err}
		method, path, _ := strings.Cut(tt.request, " ")
		w := httptest.NewRecorder()
		New(fakeService{f}, slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(tt.body)))
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.answer) || f.did != tt.did {
			t.Errorf("%s %.40s: %d %s, did %q; want %d %s, %q", tt.request, tt.body, w.Code, w.Body, f.did, tt.status, tt.answer, tt.did)
		}
		for line := range bytes.Lines(w.Body.Bytes()) {
			if !json.Valid(line) {
				t.Errorf("%s: answer is not JSON: %s", tt.request, line)
			}
		}
	}
}

func TestEvents(t *testing.T) {
	f := &fake{changed: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		req := httptest.NewRequest("GET", "/v1/events", nil).WithContext(ctx)
		New(fakeService{f}, slog.New(slog.DiscardHandler)).ServeHTTP(&pipeWriter{w, http.Header{}}, req)
	}()
	want := "event: status\ndata: {\"version\":\"test\""
	for range 2 {
		b := make([]byte, 4096)
		n, err := r.Read(b)
		if err != nil || !bytes.HasPrefix(b[:n], []byte(want)) {
			t.Fatalf("event %q, %v; want %q", b[:n], err, want)
		}
		f.changed <- struct{}{} // one change
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	cancel()
	<-done
}

type pipeWriter struct {
	*io.PipeWriter
	header http.Header
}

func (w *pipeWriter) Header() http.Header { return w.header }
func (w *pipeWriter) WriteHeader(int)     {}
func (w *pipeWriter) Flush()              {}

func TestListen(t *testing.T) {
	f := &fake{}
	w := httptest.NewRecorder()
	New(fakeService{f}, slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest("GET", "/v1/drives/cd0/listen", nil))
	first, err := client.ReadAudioFrame(w.Body)
	if err != nil || !bytes.Equal(first.PCM, bytes.Repeat([]byte{7}, client.AudioFrameSize)) || first.Dropped != 0 || first.Late {
		t.Errorf("first frame %d, %v; %v", first.Dropped, first.Late, err)
	}
	second, err := client.ReadAudioFrame(w.Body)
	if err != nil || !bytes.Equal(second.PCM, make([]byte, client.AudioFrameSize)) || second.Dropped != 3 || !second.Late {
		t.Errorf("second frame %d, %v; %v", second.Dropped, second.Late, err)
	}
	if _, err := client.ReadAudioFrame(w.Body); !errors.Is(err, io.EOF) || f.did != "stop" {
		t.Errorf("then %v, did %q", err, f.did)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{``, `{}`, `{"image":"a.iso","force":true}`, `{"image":"a.iso"} {}`, `[]`, `{"x":0}`, "\xff", `{"image":{"image":""}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var in client.InsertRequest
		if err := decode(bytes.NewReader(body), &in); err != nil {
			return
		}
		// What was taken says all that the body said.
		b, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var again client.InsertRequest
		if err := decode(bytes.NewReader(b), &again); err != nil || again != in {
			t.Errorf("%q: %+v, again %+v, %v", body, in, again, err)
		}
	})
}
