#!/usr/bin/perl
# A client of the double's dispatcher: what prlctl is to the real one. In Perl, since that begins within milliseconds.
use strict;
use warnings;
use Socket;

my ($path, $program, $folder) = (@PLACES@);

sub frame {
  my ($socket, $type, $data) = @_;
  my $bytes = $type . pack('N', length $data) . $data;
  while (length $bytes) {
    my $written = syswrite($socket, $bytes);
    if (defined $written) { substr($bytes, 0, $written) = '' }
    elsif ($! != 4) { return }
  }
}

sub put {
  my ($handle, $bytes) = @_;
  while (length $bytes) {
    my $written = syswrite($handle, $bytes);
    if (defined $written) { substr($bytes, 0, $written) = '' }
    elsif ($! != 4) { exit 255 }
  }
}

my $socket;
unless (socket($socket, PF_UNIX, SOCK_STREAM, 0) && connect($socket, pack_sockaddr_un($path))) {
  print STDERR "Login failed: Unable to connect to Parallels Service. Make sure it is running.\n";
  exit 253;
}
for my $name ('INT', 'TERM', 'HUP') {
  $SIG{$name} = sub { frame($socket, 'S', $name) };
}
frame($socket, 'A', join("\0", $$, $program, $folder, $ENV{PRL_DOUBLE_GUEST} // '', @ARGV));

my ($input, $open) = ('', 1);
for (;;) {
  my $reading = '';
  vec($reading, fileno($socket), 1) = 1;
  vec($reading, fileno(STDIN), 1) = 1 if $open;
  my $ready = select($reading, undef, undef, undef);
  next if $ready < 0;
  if ($open && vec($reading, fileno(STDIN), 1)) {
    my $read = sysread(STDIN, my $piece, 65536);
    if ($read) { frame($socket, 'I', $piece) }
    elsif (defined $read || $! != 4) { $open = 0; frame($socket, 'E', '') }
  }
  next unless vec($reading, fileno($socket), 1);
  my $read = sysread($socket, my $piece, 65536);
  next if !defined $read && $! == 4;
  # The dispatcher is gone.
  exit 255 unless $read;
  $input .= $piece;
  while (length $input >= 5) {
    my $length = unpack('N', substr($input, 1, 4));
    last if length $input < 5 + $length;
    my $type = substr($input, 0, 1);
    my $data = substr($input, 5, $length);
    substr($input, 0, 5 + $length) = '';
    if ($type eq 'O') { put(\*STDOUT, $data) }
    elsif ($type eq 'R') { put(\*STDERR, $data) }
    else { exit $data }
  }
}
