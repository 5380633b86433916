package config

import (
	"slices"
	"testing"
)

// TestMeanings: every scheduler, way to forward, way to take a real server out
// and way to treat drift says what it does.
func TestMeanings(t *testing.T) {
	for _, path := range [][]string{{"services", "scheduler"}, {"services", "forward"}, {"services", "real-servers", "forward"}, {"services", "on-down"}, {"ipvs", "drift"}} {
		shape, found := Describe().Find(path...)
		if !found || len(shape.Allowed) < 3 {
			t.Fatalf("%v: %+v", path, shape)
		}
		var told []string
		for _, word := range shape.Allowed {
			meaning := shape.Meaning(word)
			if meaning == "" || slices.Contains(told, meaning) {
				t.Errorf("%v %s: %q", path, word, meaning)
			}
			told = append(told, meaning)
		}
	}
	if shape, _ := Describe().Find("services", "scheduler"); shape.Meaning("tcp") != "" {
		t.Error("what is no choice means something")
	}
}
