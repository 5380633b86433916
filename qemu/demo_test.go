package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dipper/qemu/scenario"
)

// TestReport is what the demo prints of a cluster where not all is right.
func TestReport(t *testing.T) {
	s := scenario.Demonstrated()[0]
	var out strings.Builder
	err := printReport(&out, scenario.Report{
		Scenario: s,
		Requests: 4,
		Answers:  map[string]int{"web1": 3, "web2": 1},
		Facts: []scenario.Fact{
			{Claim: "both answer"},
			{Claim: "as often as the weights say", Denial: errors.New("web1 3, web2 1")},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `
  curl http://192.168.4.5:80/  4 requests
  web1 192.168.2.100           3 answers  weight 1  ###
  web2 192.168.2.200           1 answers  weight 1  #

  ok     both answer
  WRONG  as often as the weights say: web1 3, web2 1
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}
