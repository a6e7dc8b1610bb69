"""The checks of each kind of component; every public function here is a check."""
