package machine

import "testing"

func TestChooseAccelerator(t *testing.T) {
	_, ctx := bare(t)
	for _, test := range []struct {
		wish string
		want Accelerator
	}{
		{"", TCG},
		{"tcg", TCG},
		{"kvm", KVM},
		// A kernel that does not boot proves nothing, whatever the host has.
		{"auto", TCG},
	} {
		got, err := ChooseAccelerator(ctx, test.wish, "/nonexistent/vmlinuz")
		if err != nil || got != test.want {
			t.Errorf("%q: got %q, %v, want %q", test.wish, got, err, test.want)
		}
	}
	if got, err := ChooseAccelerator(ctx, "hvf", ""); err == nil {
		t.Errorf("hvf: got %q, want an error", got)
	}
}
