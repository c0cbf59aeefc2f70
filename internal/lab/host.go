package lab

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

// serveHooks answers the requests of a guest's `host` command until the port
// closes, which it does when QEMU ends.
func serveHooks(t testing.TB, port *os.File, hooks map[string]Hook) {
	r := bufio.NewReader(port)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		status, text := 0, ""
		words, err := decodeRequest(line)
		if err == nil {
			text, err = call(hooks, words)
		}
		if err != nil {
			t.Logf("host %s: %v", strings.Join(words, " "), err)
			status, text = 1, text+err.Error()+"\n"
		}
		reply := fmt.Sprintf("%d %s\n", status, base64.StdEncoding.EncodeToString([]byte(text)))
		if _, err := io.WriteString(port, reply); err != nil {
			return
		}
	}
}

func decodeRequest(line string) ([]string, error) {
	var words []string
	for field := range strings.FieldsSeq(line) {
		word, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(field, "="))
		if err != nil {
			return words, fmt.Errorf("request %q: %w", line, err)
		}
		words = append(words, string(word))
	}
	return words, nil
}

func call(hooks map[string]Hook, words []string) (string, error) {
	if len(words) == 0 {
		return "", errors.New("no hook named")
	}
	hook, ok := hooks[words[0]]
	if !ok {
		return "", errors.New("the test has no such hook")
	}
	return hook(words[1:])
}
