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

my $socket;
unless (socket($socket, PF_UNIX, SOCK_STREAM, 0) && connect($socket, pack_sockaddr_un($path))) {
  print STDERR "Login failed: Unable to connect to Parallels Service. Make sure it is running.\n";
  exit 253;
}
for my $name ('INT', 'TERM', 'HUP') {
  $SIG{$name} = sub { frame($socket, 'S', $name) };
}
frame($socket, 'A', join("\0", $$, $program, $folder, $ENV{PRL_DOUBLE_GUEST} // '', @ARGV));

# The dispatcher may send so much ahead of what the reader of an output has taken: it counts the bytes that "T" tells it.
my %pending = (O => '', R => '');
my %handle = (O => \*STDOUT, R => \*STDERR);
# Pieces of the input that the dispatcher still takes.
my ($input, $open, $credit, $code) = ('', 1, 4, undef);
for (;;) {
  my ($reading, $writing) = ('', '');
  vec($reading, fileno($socket), 1) = 1 unless defined $code;
  vec($reading, fileno(STDIN), 1) = 1 if $open && $credit > 0 && !defined $code;
  for my $type ('O', 'R') { vec($writing, fileno($handle{$type}), 1) = 1 if length $pending{$type} }
  exit $code if defined $code && !length $writing;
  my $ready = select($reading, $writing, undef, undef);
  next if $ready < 0;
  for my $type ('O', 'R') {
    next unless length $pending{$type} && vec($writing, fileno($handle{$type}), 1);
    # No more than a pipe takes at once.
    my $written = syswrite($handle{$type}, $pending{$type}, 4096);
    if (defined $written) {
      substr($pending{$type}, 0, $written) = '';
      frame($socket, 'T', $type . $written) unless defined $code;
    } elsif ($! != 4) { exit 255 }
  }
  if ($open && vec($reading, fileno(STDIN), 1)) {
    my $read = sysread(STDIN, my $piece, 65536);
    if ($read) { $credit -= 1; frame($socket, 'I', $piece) }
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
    if ($type eq 'X') { $code = $data }
    elsif ($type eq 'C') { $credit += 1 }
    else { $pending{$type} .= $data }
  }
}
