package session

import (
	"testing"
	"testing/synctest"

	"dipper/appliance/api"
)

func TestConfigurationMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.candidates["9"] = &fakeCandidate{Candidate: api.Candidate{ID: "9", Owner: api.Actor{User: "bob"}, Since: noon}}
		d := sit(t, f, 100, 30)
		d.types(ctrlL, "conf", enter)
		d.sees(`
ann@lb1> conf
bob has a candidate open since 2026-11-21 12:00:00 (now)

[edit]
ann@lb1# _`)
		d.types(ctrlL, "edit services web", enter, ctrlL, "set ", tab, "?")
		d.sees(`
ann@lb1# set
  scheduler  which real server gets the next connection (wrr)
  listen     VIP and port
ann@lb1# set
  scheduler  which real server gets the next connection (wrr)
  listen     VIP and port
ann@lb1# set _`)
		d.types(ctrlL, "sch", tab, "lcss", enter)
		d.sees(`
ann@lb1# set scheduler lcss
                       ^^^^
error: unknown scheduler "lcss": did you mean "lc"?

[edit services web]
ann@lb1# _`)
		d.types(ctrlL, "set scheduler wlc", enter, ctrlL, "exit", enter, ctrlL, "exit", enter)
		d.sees(`
ann@lb1# exit
There are uncommitted changes. Leave and forget them? [y/N] _`)
		d.types("n")
		d.sees(`
ann@lb1# exit
There are uncommitted changes. Leave and forget them? [y/N] n
error: nothing was done

[edit] changed
ann@lb1# _`)
		d.types(ctrlL, "commit", enter)
		d.sees(`
ann@lb1# commit
committed as revision 8 with 1 kernel edit

[edit]
ann@lb1# _`)
		d.types(ctrlD, ctrlL, ctrlD)
		if err := d.ends(); err != nil {
			t.Errorf("Ctrl-D: %v", err)
		}
		if len(f.candidates) != 1 {
			t.Errorf("candidates left: %v", f.candidates)
		}
	})
}

// TestBrokenBootConfig: who logs in is told how to mend it, and sees what is
// wrong with it when he takes the rest.
func TestBrokenBootConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.status = api.Status{State: api.Maintenance, Since: noon, Source: "label:DIPPER", Problems: []string{
			"the boot config has mistakes, and nothing of it was applied:",
			`dipper.yaml:9:5: services.web.scheduler: unknown scheduler "lcss"`, "   9 |     scheduler: lcss", "     |                ^",
		}}
		d := sit(t, f, 110, 24)
		d.sees(`
this machine: maintenance since 2026-11-21 12:00:00 (now)
  ! the boot config has mistakes, and nothing of it was applied:
  ! dipper.yaml:9:5: services.web.scheduler: unknown scheduler "lcss"
  !    9 |     scheduler: lcss
  !      |                ^
  ! "configure", then "rollback boot": what is right of the boot config, to be mended by "set" and committed
ann@dipper> _`)
		d.types("configure", enter, ctrlL, "rollback boot", enter)
		d.sees(`
ann@dipper# rollback boot
the candidate is what is right of label:DIPPER; what is not:
  the boot config has mistakes, and nothing of it was applied:
  dipper.yaml:9:5: services.web.scheduler: unknown scheduler "lcss"
     9 |     scheduler: lcss
       |                ^
"set" what is missing; "commit check" says what still is

[edit]
ann@dipper# _`)
		d.types("exit", enter, ctrlD)
		if err := d.ends(); err != nil {
			t.Error(err)
		}
	})
}

// TestSharedCandidate: it outlives the session that leaves it with changes.
func TestSharedCandidate(t *testing.T) {
	f := newFake()
	_, errOut, status := exec(t, f, api.Admin, "", "configure shared; set hostname lb2; exit")
	if status != 0 || errOut != "the shared candidate keeps its uncommitted changes\n" || len(f.candidates) != 1 {
		t.Errorf("exit status %d, %q, candidates %v", status, errOut, f.candidates)
	}
	f = newFake()
	if _, _, status := exec(t, f, api.Admin, "", "configure shared; exit"); status != 0 || len(f.candidates) != 0 {
		t.Errorf("without changes: exit status %d, candidates %v", status, f.candidates)
	}
}
