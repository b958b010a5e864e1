package nearest

import "testing"

func TestWord(t *testing.T) {
	for _, c := range []struct {
		word  string
		among []string
		want  string
	}{
		{"bata", []string{"alpha", "beta", "gamma"}, "beta"},
		{"BETA", []string{"alpha", "beta", "BETTER"}, "beta"},
		{"mxnet", []string{"paper", "mxnet-2018"}, "mxnet-2018"},
		{"resnet5", []string{"resnet50d", "resnet50", "resnet18"}, "resnet50"},
		{"8xh10", []string{"V100", "H100"}, "H100"},
		{"resnet50_v1d", []string{"resnet50b", "resnet50d"}, "resnet50d"},
		{"resnet-50", []string{"cresnet50", "resnet50"}, "resnet50"},
		{"ab", []string{"xb", "ax"}, "ax"}, // both one edit away: that which starts alike
		{"", []string{"alpha", "of"}, "of"},
		{"x", nil, ""},
	} {
		if got := Word(c.word, c.among); got != c.want {
			t.Errorf("%q among %q: %q, want %q", c.word, c.among, got, c.want)
		}
	}
}
