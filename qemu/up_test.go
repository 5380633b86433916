package main

import (
	"strings"
	"testing"

	"dipper/qemu/scenario"
)

// TestEveryScenarioCanBeKeptUp: what make lab takes as SCENARIO.
func TestEveryScenarioCanBeKeptUp(t *testing.T) {
	for _, s := range scenario.All() {
		if _, err := load(s.Example); err != nil {
			t.Error(err)
		}
	}
}

func TestUnknownScenarioNamesTheOthers(t *testing.T) {
	_, err := load("s2-rd")
	if err == nil || !strings.Contains(err.Error(), "s1-nat, s1-nat-v6, s2-dr") {
		t.Errorf("got %v, want the names that there are", err)
	}
}
