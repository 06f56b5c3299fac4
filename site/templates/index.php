<?php
// The page of the demonstration: a line of text that only the database knows.
$settings = parse_ini_file('@FOLDER@/database.ini');
try {
    $database = new PDO('mysql:host=@DATABASE@;dbname=site', 'web', $settings['password'], [
        PDO::ATTR_PERSISTENT => true,
        PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
        PDO::ATTR_TIMEOUT => 2,
        PDO::MYSQL_ATTR_SSL_CA => '@FOLDER@/ca.pem',
        PDO::MYSQL_ATTR_SSL_VERIFY_SERVER_CERT => true,
    ]);
    $text = $database->query('SELECT text FROM greeting')->fetchColumn();
} catch (PDOException $error) {
    error_log($error->getMessage());
    http_response_code(503);
    header('Content-Type: text/plain');
    exit("The database does not answer.\n");
}
header('Content-Type: text/html; charset=utf-8');
?>
<!doctype html>
<title>www.foobar.com</title>
<h1><?= htmlspecialchars($text) ?></h1>
<p>Served by @HOST@.</p>
