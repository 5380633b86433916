package config

import (
	"reflect"
	"testing"
)

// TestSharesLooksAtEveryField changes one field of a copy after the other.
func TestSharesLooksAtEveryField(t *testing.T) {
	s := Service{Name: "web", RealServers: make([]RealServer, 2)}
	copied := s
	if !s.Shares(&copied) {
		t.Error("a copy shares nothing")
	}
	fields := reflect.TypeFor[Service]()
	for i := range fields.NumField() {
		changed := s
		set(t, reflect.ValueOf(&changed).Elem().Field(i))
		if s.Shares(&changed) {
			t.Errorf("a copy with another %s is taken for the same", fields.Field(i).Name)
		}
	}
	apart := s
	apart.RealServers = make([]RealServer, 2)
	if s.Shares(&apart) {
		t.Error("equal lists that were made apart are taken for the same")
	}
}

// set gives a field another value than it has.
func set(t *testing.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Uint16, reflect.Uint32:
		v.SetUint(v.Uint() + 1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), v.Len()+1, v.Len()+1))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Struct:
		set(t, v.Field(0))
	default:
		t.Fatalf("no other value of %s is known", v.Type())
	}
}
