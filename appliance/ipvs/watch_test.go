package ipvs

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		seen, changed := make(chan struct{}, 1), make(chan struct{}, 1)
		ended := make(chan struct{})
		go func() { defer close(ended); settle(ctx, seen, changed) }()
		start := time.Now()
		for range 1000 { // a load of a table
			tell(seen)
		}
		<-changed
		if got := time.Since(start); got != settling {
			t.Errorf("told after %v, want %v", got, settling)
		}
		time.Sleep(time.Minute)
		if len(changed) > 1 {
			t.Errorf("told again without a reason")
		}
		stop()
		<-ended
	})
}

// TestFilterOfEdits runs the filter over messages as the tap shows them, but
// for the first test of the protocol: packets of a test have none.
func TestFilterOfEdits(t *testing.T) {
	const self, other = 77, 78
	filter := editsOfOthers(testFamily, self)[2:]
	for i, instruction := range filter {
		if jump, ok := instruction.(bpf.JumpIf); ok && i+int(jump.SkipTrue)+1 >= len(filter) {
			t.Fatalf("instruction %d jumps past the end", i)
		}
	}
	vm, err := bpf.NewVM(filter)
	if err != nil {
		t.Fatal(err)
	}
	message := func(family uint16, flags uint16, sender uint32, command uint8) []byte {
		c := conversation{family: family, sender: sender}
		start := c.begin(command, flags)
		c.end(start)
		return c.out
	}
	answer := message(testFamily, unix.NLM_F_MULTI, other, cmdNewService)
	answer[6] &^= unix.NLM_F_REQUEST
	tests := []struct {
		name    string
		message []byte
		want    bool
	}{
		{"an edit", message(testFamily, unix.NLM_F_ACK, other, cmdSetDest), true},
		{"an edit without a sender", message(testFamily, 0, 0, cmdDelDest), true},
		{"all services deleted", message(testFamily, 0, other, cmdFlush), true},
		{"timeouts", message(testFamily, 0, other, cmdSetTimeouts), true},
		{"a daemon started", message(testFamily, 0, other, cmdNewDaemon), true},
		{"a daemon stopped", message(testFamily, 0, other, cmdDelDaemon), true},
		{"our own edit", message(testFamily, 0, self, cmdNewService), false},
		{"our own daemon", message(testFamily, 0, self, cmdNewDaemon), false},
		{"timeouts read", message(testFamily, 0, other, cmdGetTimeouts), false},
		{"daemons read", message(testFamily, unix.NLM_F_DUMP, other, cmdGetDaemon), false},
		{"a list", message(testFamily, unix.NLM_F_DUMP, other, cmdGetDest), false},
		{"counters zeroed", message(testFamily, 0, other, cmdZero), false},
		{"another family", message(testFamily+1, 0, other, cmdNewService), false},
		{"an answer to a list", answer, false},
	}
	for _, tt := range tests {
		n, err := vm.Run(tt.message)
		if err != nil {
			t.Fatal(err)
		}
		if got := n > 0; got != tt.want {
			t.Errorf("%s: got %t, want %t", tt.name, got, tt.want)
		}
	}
}

const procTable = `IP Virtual Server version 1.2.1 (size=262144)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A090909:0050 wrr 
  -> 0A020102:0050      Route   1      0          0         
`

func TestFingerprint(t *testing.T) {
	of := func(text string) uint64 {
		t.Helper()
		h, err := hashTable(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	line := "Route   1      0          0         \n"
	if of(procTable) != of(strings.Replace(procTable, line, "Route   1      17         12345678  \n", 1)) {
		t.Error("connections change the fingerprint")
	}
	if of(procTable) == of(strings.Replace(procTable, line, "Route   2      0          0         \n", 1)) {
		t.Error("a weight does not change the fingerprint")
	}
	if of(procTable) == of(strings.Replace(procTable, "wrr", "rr", 1)) {
		t.Error("a scheduler does not change the fingerprint")
	}
}
